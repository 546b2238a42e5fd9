package conn

import (
	"bytes"
	"context"
)

const (
	operationVerifyChain     = "VerifyChainFinish"
	operationLookupForHandle = "LookupCertificateForHandleFinish"
	operationLookupIssuer    = "LookupCertificateIssuerFinish"
	operationLookupIssuedBy  = "LookupCertificatesIssuedByFinish"
)

// VerifyChainAsync is VerifyChain of any database without waiting
// (g_tls_database_verify_chain_async, G139). The result's source is the database.
func VerifyChainAsync(ctx context.Context, database TlsDatabase, chain *TlsCertificate, purpose string, identity SocketConnectable, interaction TlsInteraction, flags TlsDatabaseVerifyFlags, ioPriority int, callback AsyncReadyCallback) *AsyncResult {
	return startAsync(ctx, database, operationVerifyChain, ioPriority, callback, func() (TlsCertificateFlags, error) {
		found, err := database.VerifyChain(ctx, chain, purpose, identity, interaction, flags)
		if err != nil {
			found |= CertificateGenericError
		}
		return found, err
	})
}

// VerifyChainFinish gives the outcome of VerifyChainAsync. It is GENERIC_ERROR, with
// an IOError INVALID_ARGUMENT, for the result of another call.
func VerifyChainFinish(result *AsyncResult) (TlsCertificateFlags, error) {
	if result == nil || result.operation != operationVerifyChain {
		return CertificateGenericError, errForeignResult(operationVerifyChain)
	}
	return finishAsync[TlsCertificateFlags](result, operationVerifyChain)
}

// LookupCertificateForHandleAsync is LookupCertificateForHandle of any database
// without waiting (g_tls_database_lookup_certificate_for_handle_async, G141).
func LookupCertificateForHandleAsync(ctx context.Context, database TlsLookupDatabase, handle string, interaction TlsInteraction, flags TlsDatabaseLookupFlags, ioPriority int, callback AsyncReadyCallback) *AsyncResult {
	return startAsync(ctx, database, operationLookupForHandle, ioPriority, callback, func() (*TlsCertificate, error) {
		return database.LookupCertificateForHandle(ctx, handle, interaction, flags)
	})
}

// LookupCertificateForHandleFinish gives the outcome of
// LookupCertificateForHandleAsync: nil without an error if there is none (G144).
func LookupCertificateForHandleFinish(result *AsyncResult) (*TlsCertificate, error) {
	return finishAsync[*TlsCertificate](result, operationLookupForHandle)
}

// LookupCertificateIssuerAsync is LookupCertificateIssuer of any database without
// waiting (g_tls_database_lookup_certificate_issuer_async, G142).
func LookupCertificateIssuerAsync(ctx context.Context, database TlsLookupDatabase, certificate *TlsCertificate, interaction TlsInteraction, flags TlsDatabaseLookupFlags, ioPriority int, callback AsyncReadyCallback) *AsyncResult {
	return startAsync(ctx, database, operationLookupIssuer, ioPriority, callback, func() (*TlsCertificate, error) {
		return database.LookupCertificateIssuer(ctx, certificate, interaction, flags)
	})
}

// LookupCertificateIssuerFinish gives the outcome of LookupCertificateIssuerAsync:
// nil without an error if there is none (G144).
func LookupCertificateIssuerFinish(result *AsyncResult) (*TlsCertificate, error) {
	return finishAsync[*TlsCertificate](result, operationLookupIssuer)
}

// LookupCertificatesIssuedByAsync is LookupCertificatesIssuedBy of any database
// without waiting (g_tls_database_lookup_certificates_issued_by_async, G143). The
// name is copied, so that the caller may change its bytes.
func LookupCertificatesIssuedByAsync(ctx context.Context, database TlsLookupDatabase, issuerDN []byte, interaction TlsInteraction, flags TlsDatabaseLookupFlags, ioPriority int, callback AsyncReadyCallback) *AsyncResult {
	issuerDN = bytes.Clone(issuerDN)
	return startAsync(ctx, database, operationLookupIssuedBy, ioPriority, callback, func() ([]*TlsCertificate, error) {
		return database.LookupCertificatesIssuedBy(ctx, issuerDN, interaction, flags)
	})
}

// LookupCertificatesIssuedByFinish gives the outcome of
// LookupCertificatesIssuedByAsync: nil without an error if there is none (G144).
func LookupCertificatesIssuedByFinish(result *AsyncResult) ([]*TlsCertificate, error) {
	return finishAsync[[]*TlsCertificate](result, operationLookupIssuedBy)
}
