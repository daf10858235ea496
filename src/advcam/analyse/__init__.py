"""The paper's figures as functions that return numbers."""
