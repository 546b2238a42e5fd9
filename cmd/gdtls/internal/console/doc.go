// Package console is the page on which people watch a server: its log, its DTLS peers,
// the groups of the JWT protocol, and charts of what it does.
//
// A [Hub] keeps the latest events, each with a number. A viewer is a WebSocket that
// holds a position in the hub and no queue of its own: whoever is slow, or was away,
// reads on from where it was, and is told how many events are gone when the hub has
// dropped them meanwhile. So publishing never waits for anybody, and what a viewer costs
// does not depend on how slow it is.
//
// What is not an event (peers, groups, samples) is gathered once for all viewers, from
// the functions of a [Source], and sent as it is now: a viewer that misses one state
// gets the next.
package console
