package simulate

// UserAgent returns the User-Agent of deliveries of this family.
func (f Family) UserAgent() string {
	if f == Messaging {
		return messagingAgent
	}
	return changesAgent
}

// VerificationUserAgent is the User-Agent of verification requests.
const VerificationUserAgent = verificationAgent
