"""The embedded broker and the sample data that show StreamGuard at work without any set-up."""
