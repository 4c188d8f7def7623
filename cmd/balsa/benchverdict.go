package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"balsa.example/api"
	"balsa.example/internal/loadgen"
)

// benchFigures are what was measured besides the load itself, while it ran. What is nil or 0 is not known.
type benchFigures struct {
	report *loadgen.Report
	// before and after are what the leader said; nil if none was found, or not the same one twice.
	before, after *api.StatusReply
	// servers says whether all servers are on this machine, whose processors they share with the load.
	servers sharing
	// client is how long this process used the processors, of which it has so many.
	client     time.Duration
	processors int
	// roundTrip is the shortest from here to the leader. alone says that the leader asks nobody for an
	// operation: for lease and local reads.
	roundTrip time.Duration
	alone     bool
}

type sharing int

const (
	apart sharing = iota
	sameMachine
)

// limit is what kept a load from doing more.
type limit string

const (
	limitRate    limit = "rate"
	limitClient  limit = "client processor"
	limitServer  limit = "server processor"
	limitMachine limit = "machine processors"
	limitDisk    limit = "disk"
	limitNetwork limit = "network"
	limitCallers limit = "callers"
	limitUnknown limit = "not known"
)

// benchVerdict is what a load has shown.
type benchVerdict struct {
	Limit limit `json:"limit"`
	// Can, Why and Measured are sentences.
	Can      string `json:"can"`
	Why      string `json:"why"`
	Measured string `json:"measured"`
	// The figures on which it stands; left out where they are not known.
	DiskBusy   *float64 `json:"disk_busy,omitempty"` // share of the time in which a sync was under way at the leader
	ServerBusy *float64 `json:"server_processors,omitempty"`
	ClientBusy *float64 `json:"client_processors,omitempty"`
	SyncMean   *float64 `json:"sync_mean_us,omitempty"`
	Network    *float64 `json:"round_trips_us,omitempty"` // those that an operation waits for, one after another
}

const (
	// What is in use for so much of the time is the limit.
	busyDisk      = 0.7
	busyProcessor = 0.8
	// A part of the latency that is so large is what callers wait for.
	mostOfLatency = 0.5
)

// judge concludes from the figures alone.
func (f *benchFigures) judge() *benchVerdict {
	v := &benchVerdict{Limit: limitUnknown}
	main := f.report.Main()
	if main == nil {
		v.Can, v.Why = "no operation succeeded", "not known: nothing was done"
		return v
	}
	v.Can = f.can(main)
	f.measure(v)
	seconds := f.report.Elapsed.Seconds()
	mean := float64(main.Latency.Mean) / float64(time.Microsecond)
	share := func(part *float64) float64 {
		if part == nil || mean == 0 {
			return 0
		}
		return *part / mean
	}
	writes := f.report.Puts != nil || f.report.Txns != nil || f.report.Updates != nil
	client, server := value(v.ClientBusy)/float64(max(f.processors, 1)), value(v.ServerBusy)/float64(max(f.after.GetResources().GetProcessors(), 1))
	switch load := f.report.Load; {
	case f.report.Failed() > f.report.Ops()/100:
		v.Why = fmt.Sprintf("not known: %s of the operations failed", percent(float64(f.report.Failed())/float64(f.report.Failed()+f.report.Ops())))
	case load.Rate > 0 && seconds > 0 && float64(f.report.Ops())/seconds > 0.95*load.Rate:
		v.Limit, v.Why = limitRate, "the rate that was asked for: it can do more, or as much at least"
	case f.servers == sameMachine && client < busyProcessor && client+server > busyProcessor:
		v.Limit, v.Why = limitMachine, "the processors of this machine, which the servers share with this load; servers on machines of their own would do more"
	case client > busyProcessor:
		v.Limit, v.Why = limitClient, "the processors of this client: run it on a larger machine, or several of them, to see what the cluster can do"
	case server > busyProcessor:
		v.Limit, v.Why = limitServer, "the processors of the leader "+f.after.GetName()
	case f.after == nil || f.after.Work == nil:
		v.Why = "not known: no leader told what it did from the beginning to the end (an election, or a server of an older version)"
	case writes && value(v.DiskBusy) > busyDisk:
		v.Limit, v.Why = limitDisk, "the syncs of the disk of the leader "+f.after.GetName()+": writes wait for them, and share them"
	case writes && share(v.SyncMean) > mostOfLatency:
		v.Limit, v.Why = limitDisk, fmt.Sprintf("the syncs of the disk: %s of the time that an operation takes. The disk is not busy all the time, so more --callers would do more", percent(share(v.SyncMean)))
	case share(v.Network) > mostOfLatency:
		v.Limit, v.Why = limitNetwork, fmt.Sprintf("the round trips of the network: %s of the time that an operation takes; more --callers would do more", percent(share(v.Network)))
	case load.Rate == 0 && value(v.DiskBusy) < busyDisk/2 && client < busyProcessor/2 && server < busyProcessor/2 && v.ClientBusy != nil && v.ServerBusy != nil:
		v.Limit, v.Why = limitCallers, fmt.Sprintf("the number of callers, %d: neither disk nor processors were busy for half of the time, so more --callers would do more", load.Callers)
	default:
		v.Why = "not known: nothing that was measured was busy all the time"
	}
	return v
}

func value(p *float64) float64 {
	if p == nil {
		return 0
	}
	return *p
}

// can says what was done.
func (f *benchFigures) can(main *loadgen.Summary) string {
	load, what := f.report.Load, "operations"
	for name, s := range map[string]*loadgen.Summary{
		"puts": f.report.Puts, "reads": f.report.Gets, "transactions": f.report.Txns, "updates": f.report.Updates,
		"range reads": f.report.Ranges, "keep-alives": f.report.KeepAlives, "deliveries": f.report.Deliveries,
	} {
		if s == main {
			what = name
		}
	}
	if load.Reads > 0 && load.Reads < 1 {
		perSecond := float64(f.report.Ops()) / max(f.report.Elapsed.Seconds(), 1e-9)
		return fmt.Sprintf("it did %s operations per second, of which %s were reads, for %s; half of the %s took up to %s, 99 of 100 up to %s",
			loadgen.Thousands(int64(perSecond+0.5)), percent(load.Reads), counted(load.Callers, "caller"), what, loadgen.Round(main.Latency.P50), loadgen.Round(main.Latency.P99))
	}
	return fmt.Sprintf("it did %s %s per second for %s; half of them took up to %s, 99 of 100 up to %s",
		loadgen.Thousands(int64(main.PerSecond+0.5)), what, counted(load.Callers, "caller"), loadgen.Round(main.Latency.P50), loadgen.Round(main.Latency.P99))
}

// measure fills in the figures.
func (f *benchFigures) measure(v *benchVerdict) {
	seconds := f.report.Elapsed.Seconds()
	var all []string
	if a, b := f.before.GetWork(), f.after.GetWork(); a != nil && b != nil && seconds > 0 {
		// The looks are a little before and behind the load, by the clock of the server.
		if between := float64(f.after.UptimeMs-f.before.UptimeMs) / 1000; between > 0 {
			seconds = between
		}
		disk := float64(b.SyncUs-a.SyncUs) / 1e6 / seconds
		v.DiskBusy = &disk
		text := "a sync of the leader's log was under way for " + percent(disk) + " of the time"
		if n := b.Syncs - a.Syncs; n > 0 {
			mean := float64(b.SyncUs-a.SyncUs) / float64(n)
			v.SyncMean = &mean
			text += fmt.Sprintf(" (%s of %s each)", loadgen.Thousands(int64(n)), loadgen.Round(time.Duration(mean)*time.Microsecond))
		}
		all = append(all, text)
		if b.ProcessorUs > a.ProcessorUs {
			busy := float64(b.ProcessorUs-a.ProcessorUs) / 1e6 / seconds
			v.ServerBusy = &busy
			all = append(all, fmt.Sprintf("the leader's process used %.1f of %d processors", busy, f.after.GetResources().GetProcessors()))
		}
	}
	if f.client > 0 && f.report.Elapsed > 0 {
		busy := f.client.Seconds() / f.report.Elapsed.Seconds()
		v.ClientBusy = &busy
		all = append(all, fmt.Sprintf("this client %.1f of %d", busy, f.processors))
	}
	// What takes longer than the operations do is not what they wait for: TCP counts delays of its own at
	// connections that are idle.
	if trip := f.network(); trip > 0 && trip < f.report.Main().Latency.Mean {
		us := float64(trip) / float64(time.Microsecond)
		v.Network = &us
		all = append(all, fmt.Sprintf("the round trips that an operation waits for take %s", loadgen.Round(trip)))
	}
	v.Measured = "nothing besides the latencies"
	if len(all) > 0 {
		v.Measured = strings.Join(all, "; ")
	}
}

// network is how long the round trips take for which an operation waits one after another: from here to the
// leader, and from there to as many members as make a majority with it.
func (f *benchFigures) network() time.Duration {
	if f.roundTrip == 0 || f.after == nil || f.servers == sameMachine {
		return 0 // within a machine it is processors that are waited for
	}
	before := map[uint64]uint64{}
	for _, p := range f.before.GetPeers() {
		before[p.NodeId] = p.RoundTripUs
	}
	var trips []time.Duration
	for _, p := range f.after.Peers {
		if !p.Learner && p.RoundTripUs > 0 {
			shortest := p.RoundTripUs
			if was := before[p.NodeId]; was > 0 {
				shortest = min(shortest, was)
			}
			trips = append(trips, time.Duration(shortest)*time.Microsecond)
		}
	}
	slices.Sort(trips)
	voters := 1
	for _, p := range f.after.Peers {
		if !p.Learner {
			voters++
		}
	}
	others := voters / 2 // that the leader needs
	if f.alone || others == 0 || len(trips) < others {
		return f.roundTrip
	}
	return f.roundTrip + trips[others-1]
}

func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }

// write writes the verdict as text.
func (v *benchVerdict) write(w io.Writer) error {
	_, err := fmt.Fprintf(w, "verdict\n  this cluster: %s\n  limited by: %s\n  measured: %s\n",
		wrapped(v.Can, 16), wrapped(v.Why, 14), wrapped(v.Measured, 12))
	return err
}
