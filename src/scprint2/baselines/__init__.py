"""What a user would try instead of a foundation model, with the signatures of the tasks."""
