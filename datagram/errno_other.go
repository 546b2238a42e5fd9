//go:build !unix && !windows

package datagram

func isErrno(error) bool { return false }

// codeOfErrno returns FAILED: there are no error numbers here.
func codeOfErrno(error) IOErrorCode { return CodeFailed }
