import {
  type AdminRoute,
  type AdminServer,
  HEALTH_QUESTIONS,
  Health,
  json,
  serveAdmin,
} from "../admin/index.ts";
import { AdaptorMetrics, METRICS_CONTENT_TYPE } from "../observe/index.ts";
import type { Clock, Log } from "../platform/index.ts";
import { AdaptorState } from "./adaptor-state.ts";
import type { AdaptorConfig } from "./config.ts";
import { NoticeHub } from "./notice-hub.ts";

/** What people, probes and scrapers have of one adaptor process, from its first moment to its last. */
export interface AdminSide {
  readonly state: AdaptorState;
  readonly server: AdminServer;
  /** What the socket serves; more may be added at any time. */
  readonly routes: AdminRoute[];
  /** Told of the lives of pods while this process owns the node. */
  readonly notices: NoticeHub;
  readonly metrics: AdaptorMetrics;
}

/** Serves the admin socket. Throws `invalid-config` when it cannot be made. */
export async function openAdminSide(
  config: AdaptorConfig,
  deps: { readonly clock: Clock; readonly log: Log; readonly programVersion: string },
): Promise<AdminSide> {
  const state = new AdaptorState(config.paths.stateDir);
  const health = new Health(() => state.facts());
  const routes: AdminRoute[] = HEALTH_QUESTIONS.map((question) => ({
    method: "GET",
    path: `/${question}`,
    handle: () => {
      const answer = health.answer(question);
      return json(answer, answer.ok ? 200 : 503);
    },
  }));
  const metrics = new AdaptorMetrics({ ...deps, provider: config.provider });
  routes.push(metricsRoute(metrics));
  const notices = new NoticeHub(deps.log);
  notices.add(metrics.onNotice);
  const server = await serveAdmin(config.paths.adminSocket, routes, deps);
  return { state, server, routes, notices, metrics };
}

const metricsRoute = (metrics: AdaptorMetrics): AdminRoute => ({
  method: "GET",
  path: "/metrics",
  handle: async () => ({ status: 200, text: await metrics.render(), contentType: METRICS_CONTENT_TYPE }),
});
