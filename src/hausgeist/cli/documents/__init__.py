"""What the commands about documents share: which files of a folder there are, the store of a project, and how one is kept in step with the other."""

__all__ = ()
