"""The move of the traffic itself: from the old side to the new one, a step at a time, and back."""
