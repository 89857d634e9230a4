# docker build -t bursar . && docker run -v bursar:/data -p 8080:8080 -e BURSAR_PROVIDERS__OPENAI__API_KEY bursar
FROM debian:12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make pkg-config libevent-dev libssl-dev \
        libnghttp2-dev libsqlite3-dev libjansson-dev libyaml-dev zlib1g-dev libbrotli-dev libzstd-dev libcurl4-openssl-dev nodejs npm \
        ca-certificates && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN make -j"$(nproc)" BUILD=build/image build/image/bursar build/image/vendor && strip build/image/bursar build/image/vendor

FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends libevent-2.1-7 libevent-pthreads-2.1-7 libssl3 \
        libnghttp2-14 libsqlite3-0 libjansson4 libyaml-0-2 zlib1g libbrotli1 libzstd1 libcurl4 ca-certificates tzdata && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin bursar \
    && install -d -o bursar -g bursar -m 0700 /data
COPY --from=build /src/build/image/bursar /usr/bin/bursar
COPY --from=build /src/build/image/vendor /usr/bin/bursar-vendor
COPY --from=build /src/conf/bursar.yaml /etc/bursar/bursar.yaml
COPY --from=build /src/LICENSE /src/NOTICE /usr/share/doc/bursar/
# The admin listener stays on the container's loopback: `docker exec CONTAINER bursar budgets`. To scrape it from outside,
# set BURSAR_ADMIN__LISTEN and BURSAR_ADMIN__ALLOWED_HOSTS.
ENV BURSAR_LISTEN=0.0.0.0:8080 BURSAR_DATA=/data
USER bursar
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s CMD ["bursar", "budgets", "--format", "json"]
ENTRYPOINT ["bursar"]
CMD ["serve"]
