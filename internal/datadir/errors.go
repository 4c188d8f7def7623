package datadir

import "errors"

// Errors of a data directory that is not what its member needs. Nothing has been
// changed on disk when one of them is returned.
var (
	// ErrInUse: another process uses the directory.
	ErrInUse = errors.New("data directory is in use")
	// ErrEmpty: the directory holds nothing, and Config.MustExist wants a member's.
	ErrEmpty = errors.New("data directory is empty")
	// ErrForeign: the directory belongs to another cluster or to another member.
	ErrForeign = errors.New("data directory belongs to another server")
	// ErrDamaged: a file is missing or its content is not what was written.
	ErrDamaged = errors.New("data directory is damaged")
	// ErrNewerFormat: the directory was written by a newer version of balsa.
	ErrNewerFormat = errors.New("data directory has a newer format")
	// ErrOlderFormat: the directory was written by a version of balsa that is too old.
	ErrOlderFormat = errors.New("data directory has an older format, which this version cannot use")
)
