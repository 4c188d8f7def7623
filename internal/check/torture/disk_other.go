//go:build !linux

package main

func (d *disk) format() error   { return errNoDisks }
func (d *disk) attach() error   { return errNoDisks }
func (d *disk) detach() error   { return nil }
func (d *disk) cutPower() error { return errNoDisks }
func (d *disk) fill() error     { return errNoDisks }
func (d *disk) freeze() error   { return errNoDisks }
func (d *disk) thaw() error     { return errNoDisks }
