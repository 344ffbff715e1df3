"""Records that cross between the window and the engine: free of torch and of Qt."""
