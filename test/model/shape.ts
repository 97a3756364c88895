/** How large everything is: small, so that what is drawn meets. */
export const MEMBERS = 3
export const TOPIC = 'T'
export const QUEUES = 2
export const SENDERS = 2
