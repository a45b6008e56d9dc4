"""Camera calibration: gain, voltage drop, window, cabling, dead pixels."""
