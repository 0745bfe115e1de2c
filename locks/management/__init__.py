"""The commands of the locks."""
