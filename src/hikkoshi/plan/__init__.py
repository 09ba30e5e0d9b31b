"""From a survey to the files of the new home: choices with their reasons, and what follows."""
