"""Results that people look at: crops, composites, reports and a dashboard, all made from folders of results."""
