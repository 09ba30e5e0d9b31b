"""What a person or a CI system reads of a rehearsal. It renders; it judges nothing."""
