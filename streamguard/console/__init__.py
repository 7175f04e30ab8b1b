"""What people reach with a browser or by HTTP."""
