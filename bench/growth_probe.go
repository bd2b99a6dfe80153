package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	probeSamples = 300             // requests of each kind to each server
	probeRound   = 15              // requests to one server before it is the other one's turn
	probeSpan    = 5 * time.Second // about the maximum for one kind on one server
)

// A latencyProbe is one kind of request whose latency must not depend on the number of licenses.
type latencyProbe struct {
	name  string
	bound time.Duration // of p99
	make  func(d *deployment, n int) sent
}

// sent is one request of a probe.
type sent struct {
	method, path  string
	authorization string // "" is the vendor's token
	body          string
}

// Bounds of p99.
const (
	quick   = 20 * time.Millisecond
	patient = 100 * time.Millisecond
)

// lists returns probes of lists with every filter.
func lists() []latencyProbe {
	list := func(name, path string, query func(d *deployment, l sampled) url.Values) latencyProbe {
		return latencyProbe{name, quick, func(d *deployment, n int) sent {
			return sent{method: http.MethodGet, path: path + "?" + query(d, d.sample[n%samples]).Encode()}
		}}
	}
	is := func(pairs ...string) url.Values {
		query := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			query.Set(pairs[i], pairs[i+1])
		}
		return query
	}
	always := func(pairs ...string) func(*deployment, sampled) url.Values {
		return func(*deployment, sampled) url.Values { return is(pairs...) }
	}
	// few is a length of a page that the small deployment also fills, so that both answers are equally long.
	const few = "2"
	const licenses, leases, usage = "/v1/licenses", "/v1/leases", "/v1/usage"
	soon := func(d *deployment) string { return d.begun.AddDate(0, 0, 20).UTC().Format(time.RFC3339) }
	return []latencyProbe{
		list("licenses", licenses, always()),
		list("licenses by customer", licenses, func(_ *deployment, l sampled) url.Values { return is("customer", l.Customer) }),
		list("licenses by product", licenses, always("product", "bench-cloud")),
		list("licenses by plan", licenses, always("plan", "bench-desk")),
		list("licenses by revision", licenses, func(_ *deployment, l sampled) url.Values { return is("revision", l.Granted) }),
		list("licenses by status, few", licenses, always("status", "revoked", "limit", few)),
		list("licenses by status, many", licenses, always("status", "active")),
		list("licenses by end", licenses, func(d *deployment, _ sampled) url.Values { return is("ends_before", soon(d), "limit", "20") }),
		list("licenses by reference", licenses, func(_ *deployment, l sampled) url.Values { return is("reference", l.Reference) }),
		list("licenses by an unknown reference", licenses, always("reference", "nobody")),
		list("licenses by product and status", licenses, always("product", "bench-cloud", "status", "suspended", "limit", few)),
		list("licenses by plan and status", licenses, always("plan", "bench-studio", "status", "suspended", "limit", few)),
		list("licenses by customer and plan", licenses, func(_ *deployment, l sampled) url.Values { return is("customer", l.Customer, "plan", l.Plan) }),
		list("licenses by revision and status", licenses, func(_ *deployment, l sampled) url.Values {
			return is("revision", l.Granted, "status", "suspended", "limit", few)
		}),
		list("licenses by status and end", licenses, func(d *deployment, _ sampled) url.Values {
			return is("status", "active", "ends_before", soon(d), "limit", "20")
		}),
		list("licenses by product and end", licenses, func(d *deployment, _ sampled) url.Values {
			return is("product", "bench-cloud", "ends_before", soon(d), "limit", "10")
		}),
		list("licenses by product and status, none", licenses, always("product", "lathe", "status", "suspended")),
		list("licenses by status and end, none", licenses, always("status", "active", "ends_before", "2020-01-01T00:00:00Z")),
		list("licenses, deep page", licenses, func(d *deployment, _ sampled) url.Values { return is("cursor", d.deep[""]) }),
		list("licenses by status, deep page", licenses, func(d *deployment, _ sampled) url.Values {
			return is("status", "active", "cursor", d.deep["status=active&"])
		}),
		list("licenses by product, deep page", licenses, func(d *deployment, _ sampled) url.Values {
			return is("product", "bench-cad", "cursor", d.deep["product=bench-cad&"])
		}),
		list("customers by reference", "/v1/customers", func(_ *deployment, l sampled) url.Values { return is("reference", "bench-1-customer-00007") }),
		list("tokens", "/v1/tokens", always("limit", "5")),
		list("leases", leases, always()),
		list("leases by license", leases, func(_ *deployment, l sampled) url.Values { return is("license", l.ID) }),
		list("leases by holder", leases, func(_ *deployment, l sampled) url.Values { return is("holder", "user:"+l.Reference+"-user-1") }),
		list("leases by customer", leases, func(_ *deployment, l sampled) url.Values { return is("customer", l.Customer) }),
		list("leases by product", leases, always("product", "bench-cloud")),
		list("leases by product and pool", leases, always("product", "bench-cad", "pool", "machines")),
		list("usage", usage, always()),
		list("usage by license", usage, func(_ *deployment, l sampled) url.Values { return is("license", l.ID) }),
		list("usage by customer", usage, func(_ *deployment, l sampled) url.Values { return is("customer", l.Customer) }),
		list("usage by meter", usage, always("meter", "renders")),
	}
}

// explanations returns probes of why, status and the log.
func explanations() []latencyProbe {
	get := func(name string, bound time.Duration, path func(d *deployment, n int) string) latencyProbe {
		return latencyProbe{name, bound, func(d *deployment, n int) sent { return sent{method: http.MethodGet, path: path(d, n)} }}
	}
	log := func(name string, query func(d *deployment, l sampled) string) latencyProbe {
		return get("log "+name, patient, func(d *deployment, n int) string { return "/v1/audit?" + query(d, d.sample[n%samples]) })
	}
	middle := func(d *deployment) string {
		return url.QueryEscape(d.begun.Add(d.took / 2).UTC().Format(time.RFC3339Nano))
	}
	return []latencyProbe{
		get("why of a denied request", quick, func(d *deployment, n int) string { return "/v1/why/" + d.denied(n) + "-user-2" }),
		get("why of an unknown request", quick, func(_ *deployment, n int) string { return fmt.Sprintf("/v1/why/nobody-%d", n) }),
		get("why of a license", quick, func(d *deployment, n int) string { return "/v1/why/" + d.sample[n%samples].ID }),
		log("by type, few", func(*deployment, sampled) string { return "type=license.revoked" }),
		log("by type, many", func(*deployment, sampled) string { return "type=license." }),
		log("by a type without entries", func(*deployment, sampled) string { return "type=license.transferred" }),
		log("by license", func(_ *deployment, l sampled) string { return "license=" + l.ID }),
		log("by customer", func(_ *deployment, l sampled) string { return "customer=" + l.Customer }),
		log("by customer and type", func(_ *deployment, l sampled) string { return "type=lease.&customer=" + l.Customer }),
		log("until a time", func(d *deployment, _ sampled) string { return "until=" + middle(d) }),
		log("since a time", func(d *deployment, _ sampled) string { return "since=" + middle(d) }),
		log("by type until a time", func(d *deployment, _ sampled) string { return "type=license.suspended&until=" + middle(d) }),
		get("status", patient, func(*deployment, int) string { return "/v1/status" }),
		get("metrics", patient, func(*deployment, int) string { return "/metrics" }),
	}
}

// writes returns probes of requests that change something, and of validations.
func writes() []latencyProbe {
	return []latencyProbe{
		{"issue a license", quick, func(d *deployment, n int) sent {
			return sent{method: http.MethodPost, path: "/v1/licenses", body: fmt.Sprintf(`{"customer":%q,"plan":"bench"}`, d.sample[n%samples].Customer)}
		}},
		{"extend a license", quick, func(d *deployment, n int) sent {
			return sent{method: http.MethodPost, path: "/v1/licenses/" + d.active(n).ID + "/extend", body: `{"by":"1d","reason":"trial"}`}
		}},
		{"acquire", quick, func(d *deployment, n int) sent {
			return sent{method: http.MethodPost, path: "/v1/leases", authorization: d.taker.credential,
				body: fmt.Sprintf(`{"request_id":"probe-%d","pool":"seats","holder":{"kind":"user","id":"probe-%d"}}`, n, n)}
		}},
		{"validate one license again", quick, func(d *deployment, _ int) sent {
			return sent{method: http.MethodPost, path: "/v1/validate", authorization: d.taker.credential, body: string(validateBody(true))}
		}},
		{"validate other licenses", quick, func(d *deployment, n int) sent {
			return sent{method: http.MethodPost, path: "/v1/validate", authorization: fmt.Sprintf("License bench-1-%06d", n*7919%d.licenses),
				body: strings.Replace(string(validateBody(true)), "lathe", "bench-cad", 1)}
		}},
	}
}

// active returns a sampled license that can be extended.
func (d *deployment) active(n int) sampled {
	return d.find(n, func(l sampled) bool { return l.Status == "active" && l.End.After(d.begun) })
}

// denied returns the reference of a sampled license whose second user was denied.
func (d *deployment) denied(n int) string {
	return d.find(n, func(l sampled) bool { return l.Plan == "bench-solo" && l.End.After(d.begun) }).Reference
}

// find returns the first sampled license, from the one with the index n on, that fits.
func (d *deployment) find(n int, fits func(sampled) bool) sampled {
	for i := range samples {
		if l := d.sample[(n+i)%samples]; fits(l) {
			return l
		}
	}
	return sampled{}
}

// probe measures each kind of request on both deployments in turn.
func probe(ctx context.Context, s settings, small, large *deployment) ([]row, error) {
	var rows []row
	for _, p := range append(append(lists(), explanations()...), writes()...) {
		var latencies [2][]time.Duration
		var spent [2]time.Duration
		for round := range probeSamples / probeRound {
			for i, d := range []*deployment{small, large} {
				for n := round * probeRound; n < (round+1)*probeRound && spent[i] < probeSpan; n++ {
					took, err := d.ask(ctx, p.make(d, n))
					if err != nil {
						return nil, fmt.Errorf("%s on %d licenses: %w", p.name, d.licenses, err)
					}
					latencies[i] = append(latencies[i], took)
					spent[i] += took
				}
			}
		}
		rows = append(rows, p.compared(summarize(latencies[0], spent[0]), summarize(latencies[1], spent[1])))
		fmt.Fprintf(s.log, "  %s: %s\n", p.name, rows[len(rows)-1].Note)
	}
	return rows, nil
}

// compared reports p99 of the large deployment and of the small one.
func (p latencyProbe) compared(small, large outcome) row {
	const most = 2
	r := row{
		Name: p.name + ", p99", Unit: "ms", Ours: milliseconds(large.p99), Yardstick: milliseconds(small.p99),
		Ratio: float64(large.p99) / float64(small.p99), Target: fmt.Sprintf("<= %.0f ms", milliseconds(p.bound)), Met: large.p99 <= p.bound,
	}
	if p.bound == quick {
		r.Target += fmt.Sprintf(", <= %d.00", most)
		r.Met = r.Met && r.Ratio <= most
	}
	r.Note = fmt.Sprintf("p50 %.2f ms, with %d licenses %.2f ms; %d and %d requests.",
		milliseconds(large.p50), smallDeployment, milliseconds(small.p50), large.operations, small.operations)
	return r
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// ask sends one request and returns how long the answer took. A denial and an id that was not found
// are answers too.
func (d *deployment) ask(ctx context.Context, q sent) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, q.method, "http://"+d.addr+q.path, strings.NewReader(q.body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	if req.Header.Set("Authorization", q.authorization); q.authorization == "" {
		req.Header.Set("Authorization", "Bearer "+d.vendor.token)
		req.Header.Set("Copyhold-Environment", trialEnvironment)
	}
	begin := time.Now()
	res, err := d.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	took := time.Since(begin)
	if err != nil {
		return 0, err
	}
	explained := bytes.Contains(answer, []byte(`"decision"`)) || strings.Contains(q.path, "/v1/why/nobody")
	if res.StatusCode >= http.StatusBadRequest && !explained {
		return 0, fmt.Errorf("%s %s: %s: %.300s", q.method, q.path, res.Status, answer)
	}
	return took, nil
}
