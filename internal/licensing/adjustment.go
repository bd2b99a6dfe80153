package licensing

import (
	"math"
	"math/bits"
	"strconv"
)

// An Adjustment changes a number: by an amount if Add is set, otherwise to that amount.
// Amounts of a meter are in its scaled units.
type Adjustment struct {
	Add    bool  `json:"add,omitempty"`
	Amount int64 `json:"amount"`
}

// String writes +5, -5 or 5.
func (a Adjustment) String() string {
	if a.Add && a.Amount >= 0 {
		return "+" + strconv.FormatInt(a.Amount, 10)
	}
	return strconv.FormatInt(a.Amount, 10)
}

// To returns n adjusted. It refuses to go below zero or over MaxQuantity.
func (a Adjustment) To(n int64) (int64, error) {
	if !a.Add {
		if a.Amount < 0 {
			return 0, Errorf(Invalid, "amount %d is negative", a.Amount)
		}
		return a.Amount, nil
	}
	sum, err := addTimes(n, a.Amount, 1)
	if err != nil {
		return 0, err
	}
	if sum < 0 {
		return 0, Errorf(Invalid, "%d adjusted by %v is negative", n, a)
	}
	return sum, nil
}

// raising returns the function that merges a, bought quantity times, into a
// number: it adds, or lifts to the amount, and never lowers by setting.
func (a Adjustment) raising(quantity int64) func(int64) (int64, error) {
	return func(n int64) (int64, error) {
		if !a.Add {
			return max(n, a.Amount), nil
		}
		sum, err := addTimes(n, a.Amount, quantity)
		if err == nil && sum < 0 {
			return 0, Errorf(Invalid, "%d adjusted %d times by %v is negative", n, quantity, a)
		}
		return sum, err
	}
}

// addTimes returns n + amount*times, or Invalid if the result is beyond ±MaxQuantity.
func addTimes(n, amount, times int64) (int64, error) {
	product, ok := multiply(amount, times)
	sum := n + product
	// Overflow flips the sign of the sum against both of its terms.
	if !ok || (n >= 0) == (product >= 0) && (sum >= 0) != (n >= 0) || magnitude(sum) > MaxQuantity {
		return 0, Errorf(Invalid, "%d plus %d times %d is out of range", n, times, amount)
	}
	return sum, nil
}

// multiply returns a*b and whether the product fits an int64.
func multiply(a, b int64) (int64, bool) {
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	negative := (a < 0) != (b < 0)
	switch {
	case hi != 0 || lo > math.MaxInt64 && !(negative && lo == 1<<63):
		return 0, false
	case negative:
		return -int64(lo), true
	}
	return int64(lo), true
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}
