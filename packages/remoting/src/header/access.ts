/** Users and policies (3001 to 3010). Source: org.apache.rocketmq.remoting.protocol.header.CreateUserRequestHeader and its neighbours. */
import { RequestCode } from '../codes.ts'
import { header, optional, string } from './header.ts'

const username = { username: optional(string) }
const subject = { subject: optional(string) }

/** Of users: create, update, delete, get. Create and update have a body, see `body/access.ts`. */
export const UserRequest = {
  CREATE: header(RequestCode.AUTH_CREATE_USER, username),
  UPDATE: header(RequestCode.AUTH_UPDATE_USER, username),
  DELETE: header(RequestCode.AUTH_DELETE_USER, username),
  GET: header(RequestCode.AUTH_GET_USER, username),
  LIST: header(RequestCode.AUTH_LIST_USER, { filter: optional(string) }),
} as const

/** Of policies: the same. */
export const AclRequest = {
  CREATE: header(RequestCode.AUTH_CREATE_ACL, subject),
  UPDATE: header(RequestCode.AUTH_UPDATE_ACL, subject),
  DELETE: header(RequestCode.AUTH_DELETE_ACL, {
    ...subject,
    policyType: optional(string),
    resource: optional(string),
  }),
  GET: header(RequestCode.AUTH_GET_ACL, subject),
  LIST: header(RequestCode.AUTH_LIST_ACL, { subjectFilter: optional(string), resourceFilter: optional(string) }),
} as const
