package replica

// SetMostPlaces sets which share of the places for keys may be in use, until restore is called.
func SetMostPlaces(share float64) (restore func()) {
	was := mostPlaces
	mostPlaces = share
	return func() { mostPlaces = was }
}
