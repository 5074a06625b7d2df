"""When things run: jobs, the decision between them, what asks for it, and what is said of it."""
