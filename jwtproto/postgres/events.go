package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"gdtls/jwtproto"
)

var _ jwtproto.EventStore = (*Store)(nil)

const (
	eventsChannel = "gdtls_rows"
	// maxPayload is how many bytes a notification carries.
	maxPayload = 7999

	notify = `SELECT pg_notify('` + eventsChannel + `', payload) FROM unnest($1::text[]) AS payload`
)

// WithEvents has other servers told of the rows that this Store adds, so that their Events
// can show them. It costs a little for each row, and PostgreSQL lets only one transaction
// with notifications commit at a time.
func WithEvents() Option { return func(s *Store) { s.events = true } }

// Events tells of the rows that other servers add, as jwtproto.EventStore says. They do so
// if their Stores were opened WithEvents.
func (s *Store) Events(ctx context.Context, told func(rows []jwtproto.GroupRow)) error {
	own := string(noticeHead(s.node))
	return s.listen(ctx, eventsChannel, func() {}, func(payload string) {
		if strings.HasPrefix(payload, own) {
			return
		}
		if rows := unpack(payload); len(rows) > 0 {
			told(rows)
		}
	})
}

// A notice is the payload of a notification.
type notice struct {
	Node string      `json:"node"` // who added the rows
	Rows []noticeRow `json:"rows"`
}

// noticeRow is a row of a notice. The names are short since they are there for each.
type noticeRow struct {
	Group        string `json:"g"`
	Seq          uint64 `json:"s"`
	Time         int64  `json:"t"` // microseconds since 1970
	Registration int64  `json:"r"`
	ID           []byte `json:"i"`
	Number       int    `json:"n"`
	Next         int    `json:"x"`
	Step         int    `json:"p"`
}

// queueEvents adds notifications of new rows.
func (s *Store) queueEvents(write *pgx.Batch, rows []jwtproto.LedgerRow) {
	write.Queue(notify, pack(s.node, rows))
}

const noticeTail = "]}"

// noticeHead is what stands before the rows of a notice.
func noticeHead(node string) []byte {
	empty, _ := json.Marshal(notice{node, []noticeRow{}}) // fails for no text and no numbers
	return bytes.TrimSuffix(empty, []byte(noticeTail))
}

// pack makes as few payloads of rows as hold them. A row that has no room in one is left
// out: no group of a lab folder has such a name.
func pack(node string, rows []jwtproto.LedgerRow) []string {
	start := noticeHead(node)
	var payloads []string
	payload := slices.Clip(start)
	for i := range rows {
		r := &rows[i]
		row, _ := json.Marshal(noticeRow{r.Group, r.Seq, r.Time.UnixMicro(), r.Registration, r.ID[:], r.Number, r.Next, int(r.Step)})
		if len(start)+len(row)+len(noticeTail) > maxPayload {
			continue
		}
		if len(payload)+1+len(row)+len(noticeTail) > maxPayload {
			payloads = append(payloads, string(payload)+noticeTail)
			payload = slices.Clip(start)
		}
		if len(payload) > len(start) {
			payload = append(payload, ',')
		}
		payload = append(payload, row...)
	}
	if len(payload) > len(start) {
		payloads = append(payloads, string(payload)+noticeTail)
	}
	return payloads
}

// unpack reads a payload. What is no notice has no rows: everybody who may use the
// database can send it.
func unpack(payload string) (rows []jwtproto.GroupRow) {
	var n notice
	if json.Unmarshal([]byte(payload), &n) != nil {
		return nil
	}
	for _, r := range n.Rows {
		row := jwtproto.GroupRow{Group: r.Group, Row: jwtproto.Row{
			Seq: r.Seq, Time: time.UnixMicro(r.Time), Registration: r.Registration, Number: r.Number, Next: r.Next, Step: jwtproto.Step(r.Step),
		}}
		if len(r.ID) != len(row.ID) {
			return nil
		}
		copy(row.ID[:], r.ID)
		rows = append(rows, row)
	}
	return rows
}
