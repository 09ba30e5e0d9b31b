"""What lies in the account for a cutover: a function, and the template that brings it there."""
