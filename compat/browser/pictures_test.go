package browser

import (
	"bytes"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"balsa.example/compat/rig"
)

var pictures = flag.String("pictures", "", "folder for the pictures of the manual; they take six minutes")

// shown is for how long there is load before pictures are made: longer than a chart shows.
const shown = 320 * time.Second

// TestPictures makes the pictures of the manual: three servers under load, of which one is lost for a while.
func TestPictures(t *testing.T) {
	if *pictures == "" {
		t.Skip("no -pictures")
	}
	c := start(t, 3, "--ui-writes")
	fillStore(c)
	l := c.leader()
	load(c, "mixed", "--rate", "900", "--keys", "4000", "--value-size", "200")
	watching := c.other(l)
	p := open(t, watching.url(), wide, 1130) // it keeps what the server that is lost has told of itself
	p.expect("ERR_")
	time.Sleep(shown / 2)
	load(c, "put", "--rate", "500", "--keys", "1000", "--duration", "60s")
	time.Sleep(20 * time.Second)
	l.kill()
	time.Sleep(6 * time.Second)
	c.run(l, "--initial-cluster", c.members)
	time.Sleep(shown/2 - 26*time.Second)

	p.says(".hero .chip", "healthy")
	time.Sleep(3 * time.Second)
	save := func(name string) {
		t.Helper()
		time.Sleep(300 * time.Millisecond)
		path := filepath.Join(*pictures, "dashboard-"+name+".png")
		if p.shot(path); !t.Failed() {
			shrink(t, path)
		}
	}
	save("cluster")
	p.dark(true)
	save("cluster-dark")
	p.dark(false)

	p = open(t, watching.url()+"#/keys?prefix=config/web/&key=config/web/rollout", wide, 800)
	p.says(".detail .value", "canary")
	p.says(".history", "canary")
	save("keys")
	p = open(t, watching.url()+"#/members", wide, 700)
	p.says("tbody", "leader")
	p.click("tbody tr:nth-child(3) button", "Remove")
	p.says("dialog", "Afterwards")
	save("remove")
	p = open(t, watching.url(), phone, 844)
	p.says(".hero .chip", "healthy")
	time.Sleep(2 * time.Second)
	save("phone")
}

// load puts load on the cluster, until the end of the test or of its own duration.
func load(c *cluster, args ...string) {
	args = append([]string{"bench", args[0], "--duration", "15m", "--endpoints", c.servers[0].clients + "," + c.servers[1].clients + "," + c.servers[2].clients}, args[1:]...)
	cmd := exec.Command(rig.Program(c.t), args...)
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// fillStore makes keys that look like those of somebody.
func fillStore(c *cluster) {
	for _, service := range []string{"api", "cache", "web", "worker"} {
		for _, key := range []string{"image", "limits/cpu", "limits/memory", "replicas"} {
			c.balsa("put", "config/"+service+"/"+key, service+" "+key)
		}
	}
	for _, step := range []string{"[10,100]", "[5,50,100]", "[5,25,50,100]"} {
		c.balsa("put", "config/web/rollout", fmt.Sprintf(`{"strategy":"canary","steps":%s,"pause":"2m","owner":"team-web"}`, step))
	}
	c.balsa("put", "config/web/flags", `{"dark-mode":true}`)
	c.balsa("put", "config/web/region", "eu-west")
}

// shrink leaves a picture its 256 most frequent colours, and of the others the nearest of them.
func shrink(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	from, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	counts := map[color.RGBA]int{}
	box := from.Bounds()
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(from.At(x, y)).(color.RGBA) }
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			counts[at(x, y)]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(counts), func(a, b color.RGBA) int { return counts[b] - counts[a] })
	var palette color.Palette
	for _, c := range colours[:min(256, len(colours))] {
		palette = append(palette, c)
	}
	nearest := map[color.RGBA]uint8{}
	for _, c := range colours {
		nearest[c] = uint8(palette.Index(c))
	}
	to := image.NewPaletted(box, palette)
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			to.SetColorIndex(x, y, nearest[at(x, y)])
		}
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, to); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
