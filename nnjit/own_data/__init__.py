"""Training on a file of one's own: from a table, images or arrays to a question, parts, inputs."""
