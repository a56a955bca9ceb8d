"""Data of FaceStats: photos that ship with the project, and readers, splits and checks of labelled ones."""
