"""Images of the embedded engine: described ones, archives, stand-ins, and the machine itself."""
