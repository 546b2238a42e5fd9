package chart

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// elements parses the drawing and gives its elements by name, and all its text.
func elements(t *testing.T, svg []byte) (byName map[string][]xml.StartElement, text string) {
	t.Helper()
	byName = map[string][]xml.StartElement{}
	for decoder := xml.NewDecoder(strings.NewReader(string(svg))); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return byName, text
		}
		if err != nil {
			t.Fatalf("not XML: %v\n%s", err, svg)
		}
		switch token := token.(type) {
		case xml.StartElement:
			byName[token.Name.Local] = append(byName[token.Name.Local], token.Copy())
		case xml.CharData:
			text += string(token) + "\n"
		}
	}
}

func TestSVG(t *testing.T) {
	c := &Chart{Title: "A & B", Subtitle: "<what>", Unit: "ns"}
	values := []float64{480, 15100, 3.25}
	for i, value := range values {
		c.Add("row "+strconv.Itoa(i%2), "series "+strconv.Itoa(i), value)
	}
	c.Add("row 0", "nothing", 0)
	svg := c.SVG()
	byName, text := elements(t, svg)
	if got, want := len(byName["path"]), len(values)+4; got != want { // and the legend
		t.Errorf("%d marks, want %d", got, want)
	}
	for _, want := range []string{"A & B", "<what>", "series 0: 480 ns, row 0", "series 1: 15.1k ns, row 1", "series 2: 3.25 ns, row 0", "nothing"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the text:\n%s", want, text)
		}
	}
	if len(byName["script"]) > 0 || !strings.Contains(string(svg), "prefers-color-scheme: dark") {
		t.Error("there is a script, or no style for a dark ground")
	}
}

// What is larger lies further right, and everything lies within the scale.
func TestScale(t *testing.T) {
	place := regexp.MustCompile(`translate\(([0-9.]+),[0-9]+\)" d="[^"]*"><title>`)
	for _, values := range [][]float64{{1}, {10, 10}, {0.02, 7e9}, {99, 100, 101}, {200, 500}} {
		c := &Chart{}
		for i, value := range values {
			c.Add(strconv.Itoa(i), "s", value)
		}
		marks := place.FindAllStringSubmatch(string(c.SVG()), -1)
		if len(marks) != len(values) {
			t.Fatalf("%v: %d marks", values, len(marks))
		}
		before := math.Inf(1) // the last one is drawn first
		for i, mark := range marks {
			x, err := strconv.ParseFloat(mark[1], 64)
			if err != nil || x < left || x > right || x > before {
				t.Errorf("%v: mark %d from the end is at %v", values, i, mark[1])
			}
			before = x
		}
		if n := len(newScale(c.points).ticks()); n < 2 {
			t.Errorf("%v: %d grid lines", values, n)
		}
	}
	if (&Chart{}).Empty() == false {
		t.Error("a chart without values is not empty")
	}
	elements(t, new(Chart).SVG())
}
