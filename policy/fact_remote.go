package policy

import (
	"slices"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/helm-ai-kernel/helm-ai-kernel/facts"
)

// urlFacts is facts.url.
type urlFacts struct {
	opaqueValue
	opaque bool
	all    []facts.URL // opaque ones too: what was read of them still counts against them
}

func (u *urlFacts) Value() any { return u }

func (f *factsValue) url() *urlFacts {
	if f.urls != nil {
		return f.urls
	}
	texts := f.of("url")
	u := &urlFacts{opaqueValue: opaqueValue{urlType}, opaque: len(texts) == 0}
	for _, text := range texts {
		one := facts.ParseURL(text)
		u.opaque = u.opaque || one.Opaque
		u.all = append(u.all, one)
	}
	f.urls = u
	return u
}

func (u *urlFacts) scheme(schemes []string) bool {
	return !u.opaque && !slices.ContainsFunc(u.all, func(one facts.URL) bool {
		return !slices.ContainsFunc(schemes, func(s string) bool { return strings.EqualFold(s, one.Scheme) })
	})
}

func (u *urlFacts) userinfo() bool {
	return u.opaque || slices.ContainsFunc(u.all, func(one facts.URL) bool { return one.UserInfo })
}

func (u *urlFacts) list() ref.Val {
	var out []ref.Val
	for _, one := range u.all {
		if !one.Opaque {
			out = append(out, &oneURL{opaqueValue{oneURLType}, one})
		}
	}
	return types.NewRefValList(types.DefaultTypeAdapter, out)
}

type oneURL struct {
	opaqueValue
	facts.URL
}

func (u *oneURL) Value() any { return u }

// hostFacts is facts.host: the hosts of host and of url arguments.
type hostFacts struct {
	opaqueValue
	opaque bool
	all    []facts.Host // opaque ones too
}

func (h *hostFacts) Value() any { return h }

func (f *factsValue) host() *hostFacts {
	if f.hosts != nil {
		return f.hosts
	}
	texts := f.of("host")
	h := &hostFacts{opaqueValue: opaqueValue{hostType}, opaque: len(texts)+len(f.of("url")) == 0}
	for _, text := range texts {
		one := facts.ParseHost(text)
		h.opaque = h.opaque || one.Opaque
		h.all = append(h.all, one)
	}
	for _, u := range f.url().all {
		h.opaque = h.opaque || u.Opaque || u.Host.Opaque
		u.Host.Opaque = u.Host.Opaque || u.Opaque // programs differ in where such a URL leads
		h.all = append(h.all, u.Host)
	}
	f.hosts = h
	return h
}

func (h *hostFacts) within(list []string) bool {
	return !h.opaque && !slices.ContainsFunc(h.all, func(one facts.Host) bool { return !one.In(list) })
}

func (h *hostFacts) touches(list []string) bool {
	return h.opaque || slices.ContainsFunc(h.all, func(one facts.Host) bool { return one.In(list) })
}

func (h *hostFacts) private() bool {
	return h.opaque || slices.ContainsFunc(h.all, func(one facts.Host) bool { return one.Private })
}

func (h *hostFacts) metadata() bool {
	return h.opaque || slices.ContainsFunc(h.all, func(one facts.Host) bool { return one.Metadata })
}

func (h *hostFacts) names() []string {
	out := []string{}
	for _, one := range h.all {
		if !one.Opaque {
			out = append(out, one.Name)
		}
	}
	return out
}
