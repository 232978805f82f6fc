"""The documented face of the launcher, which labs subclass."""
