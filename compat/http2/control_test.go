package http2

import (
	"fmt"

	h2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

func setting(id h2.SettingID, value uint32) func(*conn) string {
	return send(func(c *conn) { c.fr.WriteSettings(h2.Setting{ID: id, Val: value}) })
}

var settingsCases = []testCase{
	{"SETTINGS are acknowledged one by one", "6.5.3", func(c *conn) string {
		before := c.acks
		for range 3 {
			c.fr.WriteSettings(h2.Setting{ID: h2.SettingMaxFrameSize, Val: 1 << 20})
		}
		if got := c.outcome(); got != "ignored" {
			return got
		}
		return fmt.Sprintf("%d acknowledgements", c.acks-before)
	}, want("3 acknowledgements"), ""},
	{"an acknowledgement of SETTINGS that were not sent", "6.5", send(func(c *conn) { c.fr.WriteSettingsAck() }), want("ignored", "GOAWAY PROTOCOL_ERROR"), ""},
	{"an acknowledgement of SETTINGS with a payload", "6.5", send(func(c *conn) {
		c.raw(h2.FrameSettings, h2.FlagSettingsAck, 0, 0, 1, 0, 0, 0, 0)
	}), sizeError, ""},
	{"SETTINGS of half a setting", "6.5", send(func(c *conn) { c.raw(h2.FrameSettings, 0, 0, 0, 1, 0) }), sizeError, ""},
	{"SETTINGS on a stream", "6.5", send(func(c *conn) {
		c.begin(false, c.to.stream.fields())
		c.raw(h2.FrameSettings, 0, c.stream)
	}), protocolError, ""},
	{"an unknown setting", "6.5.2", setting(0xbeef, 1), ignored, ""},
	{"ENABLE_PUSH of 2", "6.5.2", setting(h2.SettingEnablePush, 2), protocolError, "ignored"},
	{"INITIAL_WINDOW_SIZE of 2^31", "6.5.2", setting(h2.SettingInitialWindowSize, 1<<31), flowError, ""},
	{"MAX_FRAME_SIZE of 2^14-1", "6.5.2", setting(h2.SettingMaxFrameSize, 1<<14-1), protocolError, "ignored"},
	{"MAX_FRAME_SIZE of 2^24", "6.5.2", setting(h2.SettingMaxFrameSize, 1<<24), protocolError, "ignored"},
	{"MAX_CONCURRENT_STREAMS of 0", "5.1.2", func(c *conn) string {
		c.set(h2.Setting{ID: h2.SettingMaxConcurrentStreams, Val: 0})
		c.call(c.to.unary)
		return c.outcome()
	}, ok, ""},
	{"HEADER_TABLE_SIZE of 0", "6.5.2", func(c *conn) string {
		c.set(h2.Setting{ID: h2.SettingHeaderTableSize, Val: 0})
		c.fr.ReadMetaHeaders = hpack.NewDecoder(0, nil)
		c.closed()
		c.call(c.to.unary)
		return c.outcome()
	}, ok, ""},
	{"HEADER_TABLE_SIZE of 4 GiB", "6.5.2", func(c *conn) string {
		c.set(h2.Setting{ID: h2.SettingHeaderTableSize, Val: 1<<32 - 1})
		c.fr.ReadMetaHeaders.SetAllowedMaxDynamicTableSize(1<<32 - 1)
		c.closed()
		c.call(c.to.unary)
		return c.outcome()
	}, ok, ""},
	{"HEADER_TABLE_SIZE that goes up and down", "RFC 7541 4.2", func(c *conn) string {
		size := func(bytes uint32) h2.Setting { return h2.Setting{ID: h2.SettingHeaderTableSize, Val: bytes} }
		c.fr.WriteSettings(size(0))
		c.set(size(4096))
		c.closed()
		c.call(c.to.unary)
		return c.outcome()
	}, ok, ""},
}

var controlCases = []testCase{
	{"PING", "6.7", func(c *conn) string {
		sent, got := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, [8]byte{}
		c.fr.WritePing(false, sent)
		c.flush()
		c.until(func(f h2.Frame) bool {
			ping, is := f.(*h2.PingFrame)
			if is && ping.IsAck() {
				got = ping.Data
			}
			return is && ping.IsAck()
		})
		return fmt.Sprint(got == sent)
	}, want("true"), ""},
	{"an acknowledgement of a PING that was not sent", "6.7", send(func(c *conn) { c.fr.WritePing(true, [8]byte{1}) }), ignored, ""},
	{"PING on a stream", "6.7", send(func(c *conn) {
		c.begin(false, c.to.stream.fields())
		c.raw(h2.FramePing, 0, c.stream, make([]byte, 8)...)
	}), protocolError, ""},
	{"PING of another length", "6.7", send(func(c *conn) { c.raw(h2.FramePing, 0, 0, make([]byte, 6)...) }), sizeError, ""},
	{"GOAWAY on a stream", "6.8", send(func(c *conn) { c.raw(h2.FrameGoAway, 0, c.stream, make([]byte, 8)...) }), protocolError, ""},
	{"GOAWAY that is too short", "6.8", send(func(c *conn) { c.raw(h2.FrameGoAway, 0, 0, make([]byte, 7)...) }), sizeError, ""},
	{"GOAWAY while a call is in progress", "6.8", send(func(c *conn) {
		c.halfClosed()
		c.fr.WriteGoAway(0, h2.ErrCodeNo, nil)
		c.window(0, 1<<20)
		c.window(c.stream, 1<<20)
		c.expected = true
	}), ok, ""},
	{"PRIORITY on an idle stream", "6.3", send(func(c *conn) { c.raw(h2.FramePriority, 0, c.next(), 0, 0, 0, 0, 1) }), ignored, ""},
	{"PRIORITY on a closed stream", "6.3", send(func(c *conn) { c.raw(h2.FramePriority, 0, c.stream, 0, 0, 0, 0, 1) }), ignored, ""},
	{"PRIORITY on stream 0", "6.3", send(func(c *conn) { c.raw(h2.FramePriority, 0, 0, 0, 0, 0, 0, 1) }), protocolError, ""},
	{"PRIORITY of another length", "6.3", send(func(c *conn) {
		c.begin(false, c.to.stream.fields())
		c.raw(h2.FramePriority, 0, c.stream, 0, 0, 0, 0)
	}), want("RST_STREAM FRAME_SIZE_ERROR", "GOAWAY FRAME_SIZE_ERROR"), ""},
	// RFC 7540 calls it an error. RFC 9113 has taken out priorities, and a server may ignore what is in the frame.
	{"PRIORITY of a stream that depends on itself", "RFC 7540 5.3.1", send(func(c *conn) {
		c.begin(false, c.to.stream.fields())
		c.raw(h2.FramePriority, 0, c.stream, 0, 0, 0, byte(c.stream), 1)
	}), want("ignored", "RST_STREAM PROTOCOL_ERROR"), ""},
}
