"""What a trained model is asked to do: AnnData in, AnnData out."""
