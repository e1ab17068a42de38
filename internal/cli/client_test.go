package cli

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// TestOpenApproval: the beginning of an id names one open approval, never two.
func TestOpenApproval(t *testing.T) {
	const one, two, three = "12345678aa", "12345678ab", "99999999ff"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(`{"approvals":[{"id":"` + one + `","index":7},{"id":"` + two + `","index":99999999},{"id":"` + three + `","index":8}]}`))
	}))
	defer srv.Close()
	base, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{base: base, http: srv.Client()}
	for _, x := range []struct{ given, want, wrong string }{
		{"12345678aa", one, ""},
		{"12345678", "", one + ", " + two},
		{"99999999f", three, ""},
		{"99999999", "", two + ", " + three}, // an index, and the beginning of an id
		{"1234567", "1234567", ""},           // too short: the server says what it makes of it
		{"12345678AA", "12345678AA", ""},
		{"abcdefabcdef", "", "no call that waits for an answer"},
		{"88888888", "88888888", ""}, // an index
		{"../boundary/freeze", "../boundary/freeze", ""},
	} {
		got, err := c.openApproval(t.Context(), x.given)
		if got != x.want || (err == nil) != (x.wrong == "") || err != nil && !strings.Contains(err.Error(), x.wrong) {
			t.Errorf("%s is %q, %v", x.given, got, err)
		}
	}
}

// TestNoServer: whoever answers and is no helm-ai-kernel is named as such.
func TestNoServer(t *testing.T) {
	for _, x := range []struct {
		status       int
		answer, want string
	}{
		{404, "<html>", " answered 404 Not Found: it is not a helm-ai-kernel server. Name one with --server"},
		{500, `{"error":"x"}`, "it is not a helm-ai-kernel server"},
		{200, "<html>", "invalid character '<' at start of value. Is it a helm-ai-kernel server"},
		{200, "[]", "must be an object, and is a JSON array. Is it"},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(x.status)
			w.Write([]byte(x.answer))
		}))
		defer srv.Close()
		base, err := url.Parse(srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		c := &client{base: base, http: srv.Client()}
		var got struct{ A string }
		if err := c.ask(t.Context(), "GET", "/v1/x", nil, nil, &got); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%d %s: %v", x.status, x.answer, err)
		}
	}
}
