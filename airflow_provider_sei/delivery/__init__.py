"""From the body of a response to a verified object: complete under its final name, or not there at all."""
