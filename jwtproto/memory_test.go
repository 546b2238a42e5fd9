package jwtproto_test

import (
	"testing"

	"gdtls/jwtproto"
	"gdtls/jwtproto/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, storetest.Kind{New: func(testing.TB) func() (jwtproto.Store, error) {
		return func() (jwtproto.Store, error) { return jwtproto.NewMemory(), nil }
	}})
}
