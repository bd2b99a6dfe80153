package main

import (
	"testing"
	"time"
)

func TestAProbeMustMeetItsTimeAndItsRatio(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name         string
		bound        time.Duration
		small, large time.Duration
		met          bool
	}{
		{"both are met", quick, 6 * ms, 10 * ms, true},
		{"the ratio is too high", quick, 4 * ms, 10 * ms, false},
		{"the time is too long", quick, 20 * ms, 21 * ms, false},
		{"only the time counts", patient, 10 * ms, 90 * ms, true},
		{"only the time counts, and it is too long", patient, 90 * ms, 101 * ms, false},
	} {
		r := latencyProbe{name: "list", bound: c.bound}.compared(outcome{p99: c.small}, outcome{p99: c.large})
		if r.Met != c.met || r.Ours != milliseconds(c.large) || r.Yardstick != milliseconds(c.small) {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}

func TestAValueAloneIsComparedWithItsBound(t *testing.T) {
	if r := alone("size", "bytes", 501, 500); r.Met {
		t.Errorf("%+v", r)
	}
	if r := alone("size", "bytes", 500, 500); !r.Met {
		t.Errorf("%+v", r)
	}
	if r := alone("size", "bytes", 1e9, 0); !r.Met || r.Target != "" {
		t.Errorf("%+v", r)
	}
}

func TestEveryProbeMakesARequest(t *testing.T) {
	d := &deployment{licenses: 1000, begun: time.Now(), deep: map[string]string{}, taker: &taker{credential: "License x"}}
	for n := range samples {
		plan := []string{"bench-solo", "bench-studio"}[n%2]
		d.sample = append(d.sample, sampled{ID: "lic_1", Customer: "cus_1", Plan: plan, Status: "active", Reference: "bench-1-000001", End: d.begun.AddDate(0, 1, 0)})
	}
	names := map[string]bool{}
	for _, p := range append(append(lists(), explanations()...), writes()...) {
		if q := p.make(d, 3); q.method == "" || q.path == "" {
			t.Errorf("%s: %+v", p.name, q)
		}
		if names[p.name] || p.bound == 0 {
			t.Errorf("%s: its name is duplicated, or it has no bound", p.name)
		}
		names[p.name] = true
	}
}
