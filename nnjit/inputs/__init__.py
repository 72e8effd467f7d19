"""What a user gives: checked and cast once, then kept as the first layer takes its batches."""
