ARG NODE=24

# All dependencies. npm ci installs exactly what package-lock.json says, so that file must be there.
FROM node:${NODE}-bookworm-slim AS deps
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci

# The same and the source, compiled if package.json has a build script.
FROM deps AS test
RUN install --directory --owner=node --group=node /reports
COPY . .
RUN npm run build --if-present
USER node
CMD ["node", "--test"]

FROM deps AS build
COPY . .
RUN npm run build --if-present && npm prune --omit=dev

# What is scanned and deployed. npm builds a service and doesn't run it: what is not there needs no patches.
FROM node:${NODE}-bookworm-slim AS production
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn* /opt/yarn*
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app .
USER node
EXPOSE 8000
# Starts what "main" in package.json names, else index.js.
CMD ["node", "."]
