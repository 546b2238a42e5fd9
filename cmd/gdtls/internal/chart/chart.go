// Package chart draws measurements as SVG that needs no program to look at: dots on
// a logarithmic scale, one line for each setting, one shape and colour for each
// series.
package chart

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Chart collects values and draws them. Values that are not above 0 have no place on
// its scale and are not drawn.
type Chart struct {
	Title, Subtitle string
	Unit            string // of all values

	rows, series []string // in the order in which they came
	points       []point
}

type point struct {
	row, series int
	value       float64
}

// Add adds a series' value in a row.
func (c *Chart) Add(row, series string, value float64) {
	c.points = append(c.points, point{place(&c.rows, row), place(&c.series, series), value})
}

// Empty tells whether nothing was added.
func (c *Chart) Empty() bool { return len(c.points) == 0 }

// place gives the index of a name, which it appends if it is new.
func place(names *[]string, name string) int {
	i := slices.Index(*names, name)
	if i < 0 {
		i = len(*names)
		*names = append(*names, name)
	}
	return i
}

// Sizes of the drawing, in pixels.
const (
	width      = 860
	left       = 220 // where the scale begins
	right      = width - 40
	top        = 110 // of the first row
	rowHeight  = 30
	rowMiddle  = rowHeight / 2
	footHeight = 50
	legendTop  = 76
	legendStep = 100
)

// style has colours for a light and a dark ground. They differ in brightness, too,
// and the shapes differ anyway.
const style = `
svg { background: #fff; font: 13px system-ui, sans-serif; }
text { fill: #222; }
.title { font-size: 18px; font-weight: 600; }
.faint { fill: #666; }
.band { fill: #f4f4f6; }
.grid { stroke: #d5d5da; }
.s0 { fill: #c2185b; } .s1 { fill: #1565c0; } .s2 { fill: #2e7d32; }
.s3 { fill: #ef8a17; } .s4 { fill: #6a3fb5; } .s5 { fill: #546e7a; }
@media (prefers-color-scheme: dark) {
svg { background: #16181d; }
text { fill: #e6e6ea; }
.faint { fill: #a0a0aa; }
.band { fill: #1e2128; }
.grid { stroke: #3a3e48; }
.s0 { fill: #ff6f9f; } .s1 { fill: #64b0ff; } .s2 { fill: #7bd17f; }
.s3 { fill: #ffb95c; } .s4 { fill: #b79bff; } .s5 { fill: #a9bcc6; }
}`

// shapes are what marks the series, as paths around 0,0.
var shapes = []string{
	"M-6,0A6,6,0,1,1,6,0A6,6,0,1,1,-6,0Z", // circle
	"M-5,-5H5V5H-5Z",                      // square
	"M0,-6L6,5H-6Z",                       // triangle
	"M0,-7L7,0L0,7L-7,0Z",                 // diamond
	"M0,6L6,-5H-6Z",                       // triangle, upside down
	"M-2,-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z",  // cross
}

// scale places values on the logarithmic axis.
type scale struct{ low, high float64 } // exponents of 10

// newScale makes a scale that begins and ends at 1, 2 or 5 times a power of ten.
func newScale(points []point) scale {
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range points {
		if p.value > 0 {
			low, high = min(low, p.value), max(high, p.value)
		}
	}
	if high < low {
		low, high = 1, 10
	}
	below, above := math.Pow10(int(math.Floor(math.Log10(low)))), math.Pow10(int(math.Floor(math.Log10(high))))
	first, last := below, 10*above
	for _, step := range []float64{2, 5} {
		if step*below < low {
			first = step * below
		}
	}
	for _, step := range []float64{5, 2} {
		if step*above > high {
			last = step * above
		}
	}
	return scale{math.Log10(first), math.Log10(last)}
}

// x gives where a value is.
func (s scale) x(value float64) float64 {
	return left + (math.Log10(value)-s.low)/(s.high-s.low)*(right-left)
}

// ticks gives the values with a grid line.
func (s scale) ticks() (values []float64) {
	for decade := math.Floor(s.low); decade <= s.high; decade++ {
		for _, step := range []float64{1, 2, 5} {
			value := step * math.Pow(10, decade)
			if at := math.Log10(value); at > s.low-1e-9 && at < s.high+1e-9 {
				values = append(values, value)
			}
		}
	}
	return values
}

// SVG draws the chart.
func (c *Chart) SVG() []byte {
	var b bytes.Buffer
	height := top + len(c.rows)*rowHeight + footHeight
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">`+"\n", width, height, width, height, escape(c.Title))
	fmt.Fprintf(&b, "<style>%s\n</style>\n", style)
	fmt.Fprintf(&b, `<text class="title" x="16" y="30">%s</text>`+"\n", escape(c.Title))
	fmt.Fprintf(&b, `<text class="faint" x="16" y="50">%s; left is better, the scale is logarithmic</text>`+"\n", escape(c.Subtitle))
	for i, name := range c.series {
		x := 24 + i*legendStep
		fmt.Fprintf(&b, `<path class="s%d" transform="translate(%d,%d)" d="%s"/><text x="%d" y="%d">%s</text>`+"\n", i%len(shapes), x, legendTop, shapes[i%len(shapes)], x+12, legendTop+4, escape(name))
	}
	bottom := top + len(c.rows)*rowHeight
	for i, name := range c.rows {
		y := top + i*rowHeight
		if i%2 == 0 {
			fmt.Fprintf(&b, `<rect class="band" x="8" y="%d" width="%d" height="%d"/>`+"\n", y, width-16, rowHeight)
		}
		fmt.Fprintf(&b, `<text x="16" y="%d">%s</text>`+"\n", y+rowMiddle+4, escape(name))
	}
	s := newScale(c.points)
	for _, value := range s.ticks() {
		x := s.x(value)
		fmt.Fprintf(&b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/><text class="faint" x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x, x, top, bottom, x, bottom+18, number(value))
	}
	fmt.Fprintf(&b, `<text class="faint" x="%d" y="%d" text-anchor="end">%s</text>`+"\n", right, bottom+38, escape(c.Unit))
	for _, p := range slices.Backward(c.points) { // the first series lies on top
		if p.value <= 0 {
			continue
		}
		fmt.Fprintf(&b, `<path class="s%d" transform="translate(%.1f,%d)" d="%s"><title>%s: %s %s, %s</title></path>`+"\n", p.series%len(shapes), s.x(p.value), top+p.row*rowHeight+rowMiddle,
			shapes[p.series%len(shapes)], escape(c.series[p.series]), number(p.value), escape(c.Unit), escape(c.rows[p.row]))
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// number writes a value short: with a k or an M for thousands and millions.
func number(value float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e6, "M"}, {1e3, "k"}} {
		if value >= unit.size {
			return strconv.FormatFloat(value/unit.size, 'g', 3, 64) + unit.name
		}
	}
	return strconv.FormatFloat(value, 'g', 3, 64)
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder takes everything
	return b.String()
}
