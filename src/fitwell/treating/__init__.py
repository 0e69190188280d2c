"""What-if forks, remedies applied to plans and to foreign scripts, paired verification."""
