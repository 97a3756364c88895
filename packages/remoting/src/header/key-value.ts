/** Key-value settings that a namesrv keeps for tools and old clients. */
import { RequestCode } from '../codes.ts'
import { header, type HeaderOf, optional, string } from './header.ts'

export const PutKvConfigRequest = header(RequestCode.PUT_KV_CONFIG, { namespace: string, key: string, value: string })
export type PutKvConfigRequest = HeaderOf<typeof PutKvConfigRequest>

export const GetKvConfigRequest = header(RequestCode.GET_KV_CONFIG, { namespace: string, key: string })
export type GetKvConfigRequest = HeaderOf<typeof GetKvConfigRequest>
export const GetKvConfigResponse = header(RequestCode.GET_KV_CONFIG, { value: optional(string) })
export type GetKvConfigResponse = HeaderOf<typeof GetKvConfigResponse>

export const DeleteKvConfigRequest = header(RequestCode.DELETE_KV_CONFIG, { namespace: string, key: string })
export type DeleteKvConfigRequest = HeaderOf<typeof DeleteKvConfigRequest>

export const GetKvListRequest = header(RequestCode.GET_KVLIST_BY_NAMESPACE, { namespace: string })
export type GetKvListRequest = HeaderOf<typeof GetKvListRequest>
