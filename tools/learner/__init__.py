"""What belongs to one learner: their own copies of the notebooks, and how a new version of the course reaches them."""
