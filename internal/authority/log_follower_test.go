package authority

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
)

// TestAFollowerReadsEachEntryOfTheLogInOrder checks that each follower reads at its own pace, and
// gets entries again until it confirms them.
func TestAFollowerReadsEachEntryOfTheLogInOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		if err := s.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		head, err := s.LogHead(t.Context(), owner())
		if err != nil {
			t.Fatal(err)
		}
		for name, limit := range map[string]int{"one": 1, "some": 3, "all": 500} {
			var read []int64
			for {
				page, err := s.Follow(t.Context(), owner(), name, limit)
				if err != nil || len(page.Items) > limit {
					t.Fatal(len(page.Items), err)
				}
				again, err := s.Follow(t.Context(), owner(), name, limit)
				if err != nil || !slices.EqualFunc(page.Items, again.Items, func(a, b v1.LogEntry) bool { return a.Index == b.Index }) {
					t.Fatalf("unread entries were returned again as %+v, %v", again, err)
				}
				for _, e := range page.Items {
					read = append(read, e.Index)
				}
				if err := s.MoveFollower(t.Context(), owner(), name, v1.FollowerMove{From: page.Position, To: page.Next}); err != nil {
					t.Fatal(err)
				}
				if !page.More {
					break
				}
			}
			for i, index := range read {
				if index != int64(i) {
					t.Fatalf("%s reads %v", name, read)
				}
			}
			if int64(len(read)) != head.Size {
				t.Errorf("%s has read %d of %d", name, len(read), head.Size)
			}
		}
		list, err := s.Followers(t.Context(), owner())
		if err != nil || len(list) != 3 || list[0].Name != "all" || list[0].Behind != 0 {
			t.Errorf("%+v, %v", list, err)
		}
		if err := s.DeleteFollower(t.Context(), owner(), "all"); err != nil {
			t.Fatal(err)
		}
		if err := s.DeleteFollower(t.Context(), owner(), "nobody"); licensing.CodeOf(err) != licensing.NotFound {
			t.Errorf("deleting a missing follower: %v", err)
		}
	})
}

// TestOfTwoWhoFollowUnderOneNameOneIsTold checks that neither skips entries that the other has
// read.
func TestOfTwoWhoFollowUnderOneNameOneIsTold(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		if err := s.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		page, err := s.Follow(t.Context(), owner(), "twice", 2)
		if err != nil || page.Next != 2 {
			t.Fatalf("%+v, %v", page, err)
		}
		errs := make([]error, 8)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() {
				errs[i] = s.MoveFollower(t.Context(), owner(), "twice", v1.FollowerMove{From: page.Position, To: page.Next})
			})
		}
		all.Wait()
		told := slices.DeleteFunc(errs, func(err error) bool { return err == nil })
		if len(told) != 7 || slices.ContainsFunc(told, func(err error) bool { return licensing.CodeOf(err) != licensing.Conflict }) {
			t.Errorf("%v", told)
		}
		for _, m := range []v1.FollowerMove{{From: 2, To: 1}, {From: 2, To: 1 << 40}} {
			if err := s.MoveFollower(t.Context(), owner(), "twice", m); licensing.CodeOf(err) != licensing.Invalid {
				t.Errorf("%+v: %v", m, err)
			}
		}
		if err := s.MoveFollower(t.Context(), owner(), "new", v1.FollowerMove{From: 1, To: 2}); licensing.CodeOf(err) != licensing.Conflict {
			t.Errorf("a new follower from 1: %v", err)
		}
		if err := s.MoveFollower(t.Context(), owner(), "Not a name", v1.FollowerMove{}); licensing.CodeOf(err) != licensing.Invalid {
			t.Errorf("a wrong name: %v", err)
		}
		if page, err := s.Follow(t.Context(), owner(), "Not a name", 10); licensing.CodeOf(err) != licensing.Invalid || len(page.Items) != 0 {
			t.Errorf("an invalid name reads %+v, %v", page, err)
		}
	})
}

// TestAFollowerStaysWithinItsScope checks that each scope has its own names, and that a follower
// skips entries that its token may not see.
func TestAFollowerStaysWithinItsScope(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := openShop(t, db)
		s.issue()
		if err := s.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.MoveFollower(t.Context(), owner(), "billing", v1.FollowerMove{To: 1}); err != nil {
			t.Fatal(err)
		}
		own := access.Principal{Kind: access.KindToken, Env: testEnv, Role: access.Auditor, Token: "tok_1", Actor: "token:tok_1", Customer: s.customer}
		mill := own
		mill.Product = "mill"
		for _, p := range []access.Principal{own, mill} {
			if list, err := s.Followers(t.Context(), p); err != nil || len(list) != 0 {
				t.Errorf("%+v, %v", list, err)
			}
			if err := s.DeleteFollower(t.Context(), p, "billing"); licensing.CodeOf(err) != licensing.NotFound {
				t.Errorf("deleting another scope's: %v", err)
			}
			page, err := s.Follow(t.Context(), p, "billing", 500)
			if err != nil || page.Position != 0 || page.More || (len(page.Items) == 0) == (p.Product == "") {
				t.Fatalf("%+v, %v", page, err)
			}
			for _, e := range page.Items {
				if e.Customer != string(s.customer) {
					t.Errorf("%+v is shown", e)
				}
			}
			if err := s.MoveFollower(t.Context(), p, "billing", v1.FollowerMove{To: page.Next}); err != nil {
				t.Error(err)
			}
		}
		if err := s.DeleteFollower(t.Context(), mill, "billing"); err != nil {
			t.Error(err)
		}
		for _, p := range []access.Principal{owner(), own} {
			if list, err := s.Followers(t.Context(), p); err != nil || len(list) != 1 || list[0].Name != "billing" || (list[0].Position == 1) != (p.Customer == "") {
				t.Errorf("%+v, %v", list, err)
			}
		}
	})
}

// TestAFollowerStopsWhereTheLogLacksEntries checks that a follower does not skip lost entries.
func TestAFollowerStopsWhereTheLogLacksEntries(t *testing.T) {
	storetest.Each(t, func(t *testing.T, other *store.DB) {
		db, raw := exposed(t, other.Engine())
		s := openShop(t, db)
		if err := s.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		whole, err := s.Follow(t.Context(), owner(), "billing", 500)
		if err != nil || len(whole.Items) < 3 {
			t.Fatalf("%+v, %v", whole, err)
		}
		var row string
		err = raw.QueryRowContext(t.Context(), `SELECT row_id FROM log_place WHERE env = $1 AND first = (SELECT MIN(first) FROM log_place WHERE env = $1 AND first > 0)`, string(testEnv)).Scan(&row)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := raw.ExecContext(t.Context(), `DELETE FROM log_row WHERE env = $1 AND id = $2`, string(testEnv), row); err != nil {
			t.Fatal(err)
		}
		page, err := s.Follow(t.Context(), owner(), "billing", 500)
		if licensing.CodeOf(err) != licensing.Internal || !strings.Contains(err.Error(), "missing from the log") {
			t.Errorf("%+v, %v", page, err)
		}
	})
}
