package main

import (
	"math/rand/v2"
	"testing"
)

// The bounds match published tables of the sign test.
func TestTheBoundOfAMedianIsExact(t *testing.T) {
	for n, k := range map[int]int{4: 0, 5: 5, 7: 7, 21: 15, 24: 17, 30: 20} {
		ratios := make([]float64, n)
		for i := range ratios {
			ratios[i] = float64(n - i) // n to 1
		}
		e := estimated(ratios)
		low := n + 1 - k
		if k == 0 {
			low = 0
		}
		if e.High != float64(k) || e.Low != float64(low) {
			t.Errorf("%d ratios: bounds are ratios number %v and %v in order, want %d and %d", n, e.Low, e.High, low, k)
		}
	}
}

// However noisy the machine is, the comparison passes a program that is 10 % slower in at most
// one case of twenty. It also blames a program that is equally fast in at most one of twenty.
func TestTheBoundHoldsUnderNoise(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const runs = 2000
	passed, blamed := 0, 0
	for range runs {
		slow, same := make([]float64, comparePairs), make([]float64, comparePairs)
		for i := range slow {
			slow[i], same[i] = 1.10+random.NormFloat64()*0.15, 1+random.ExpFloat64()-0.6931 // skewed, median 1
		}
		if estimated(slow).High < 1.10 {
			passed++
		}
		if estimated(same).Low > 1 {
			blamed++
		}
	}
	if passed > runs/20 || blamed > runs/20 {
		t.Errorf("of %d runs, %d passed a slower program, and %d blamed one that is equally fast", runs, passed, blamed)
	}
}

// A slowdown is above 1, whether a figure counts time or operations.
func TestASlowdownIsAboveOne(t *testing.T) {
	values := [servers][]float64{oldServer: {100}, oldAgain: {100}, newServer: {50}}
	if c := (contestFigure{inverse: true}).compared(&values); c.Slowdown.Median != 2 || c.Same.Median != 1 || c.Met {
		t.Errorf("half the operations: %+v", c)
	}
	if c := (contestFigure{}).compared(&values); c.Slowdown.Median != 0.5 || c.Met {
		t.Errorf("half the time: %+v", c)
	}
}
