"""What trackers were before graph networks: Denby and Peterson, next hits by an LSTM, Kalman."""
