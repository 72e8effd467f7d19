"""What a user gives, checked and cast once, on the way in."""
