"""What an export is compared and calibrated on: real photos and the faces on them."""
