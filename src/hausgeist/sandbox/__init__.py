"""What a process that works on foreign bytes gives up first: the network, most files, endless memory, outliving its parent.

`process` and `files` need nothing but the standard library, so that they are the first that such a process imports.
"""

__all__ = ()
