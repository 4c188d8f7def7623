package etcd

import "time"

// ErrResponseTooLarge refuses a response that exceeds the last step.
var ErrResponseTooLarge = errResponseTooLarge

// SetResponseSteps sets the bounds with which something is read until it fits, until restore is called.
func SetResponseSteps(steps ...int64) (restore func()) {
	was := responseSteps
	responseSteps = steps
	return func() { responseSteps = was }
}

// ProgressInterval is the interval of one stream where one was set.
func ProgressInterval(set time.Duration) time.Duration {
	w := Watches{ProgressInterval: set}
	return w.progressInterval()
}
